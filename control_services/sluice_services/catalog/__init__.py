"""What can be watched: the titles, as the control plane last said them."""
