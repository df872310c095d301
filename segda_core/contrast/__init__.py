"""What contrastive learning by label distributions is made of; `methods/contrastive.py` puts it together."""
