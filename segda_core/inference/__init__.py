"""From a trained segmenter to predictions and scores, whatever the ranks and the protocol."""
