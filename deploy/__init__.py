"""How the project is run in each place: plain processes, systemd, compose, Kubernetes."""
