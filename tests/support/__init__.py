"""What tests are made of: builders of small inputs, hand-written fakes, ranks and workers that misbehave on purpose."""
