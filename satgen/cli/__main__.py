"""`python -m satgen.cli`."""

from satgen.cli import main

if __name__ == "__main__":
    main()
