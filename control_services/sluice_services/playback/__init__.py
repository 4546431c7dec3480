"""Who is sent where: the steering map, read, and the pathways of one playback."""
