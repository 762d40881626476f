"""What several tests share: builders of small inputs, hand-written fakes, ranks and workers that misbehave on purpose."""
