-- Run once, when PostgreSQL makes its data folder. POSTGRES_DB, for Perennial's own state, is there already.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
