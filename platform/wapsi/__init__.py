"""A cashback platform: what is not business."""
