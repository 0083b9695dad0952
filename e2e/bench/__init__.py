"""What the programs can do on this machine: `python3 -m bench --help`."""
