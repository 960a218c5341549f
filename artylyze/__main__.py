"""`python -m artylyze` is the command `artylyze`."""

from artylyze.cli import main

if __name__ == "__main__":
    main()
