"""Network against network: aligned in one basis, merged, compared."""
