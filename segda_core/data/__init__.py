"""From folders of images to batches: index, subsets, manifests, transforms, loaders and checks."""
