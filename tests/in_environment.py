"""Run pytest in one of Hallmark's environments, from a folder that holds it: `in_environment.py FOLDER [ARGUMENT...]`.

The folder comes last on the path, so that a package which the environment holds too is the environment's.
"""

import sys

if __name__ == "__main__":
    sys.path.append(sys.argv.pop(1))
    import pytest

    sys.exit(pytest.main())
