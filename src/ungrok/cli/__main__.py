"""``python -m ungrok.cli``."""

from ungrok.cli.app import main

if __name__ == "__main__":
    main()
