"""What every program stands on and no program's idea is in: a closed list, named by the modules here."""
