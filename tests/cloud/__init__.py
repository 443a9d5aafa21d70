"""An S3 with a clock and a meter: what moto leaves out of S3's behaviour in time and money, in front of moto."""
