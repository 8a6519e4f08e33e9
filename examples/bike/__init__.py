"""Hourly bike rentals of Washington, 2011 and 2012: the UCI Bike Sharing data set, landed month by month."""
