"""Dated price books with their sources, as JSON; policies.prices parses them, whoever may open files reads them."""
