"""`python -m editctl`, also what `accelerate launch -m editctl` runs."""

from editctl.cli.main import main

if __name__ == "__main__":
    main()
