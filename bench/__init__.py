"""What is measured, and what is trained. Figures are for reading, never for tests to pass or fail by."""
