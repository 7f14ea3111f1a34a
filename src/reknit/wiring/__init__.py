"""Anonymous tensors and a skeleton -> which tensor belongs in which slot, and how sure that is."""
