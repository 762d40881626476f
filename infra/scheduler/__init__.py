"""What any batch scheduler has in common: a stage's job is found again, submitted, followed, judged and started again."""
