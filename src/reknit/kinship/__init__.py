"""Whether networks share an initialisation or descend from each other: evidence that states what it assumes."""
