"""Network ~ network, looked at as what was done: ``diff`` names the changes that make one checkpoint of another."""
