"""What players take of each title in each site: heard from appliances, smoothed over days, kept."""
