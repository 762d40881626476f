"""What is true of any batch scheduler: a stage's job is found again, submitted, followed, judged and started again."""
