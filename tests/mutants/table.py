"""All mutants, layer by layer."""

from __future__ import annotations

from tests.mutants.asking import ASKING
from tests.mutants.decoding import DECODING
from tests.mutants.parsers import PARSERS
from tests.mutants.placing import PLACING
from tests.mutants.serving import SERVING
from tests.mutants.stacks import STACKS
from tests.mutants.workers import WORKERS

TABLE = (*PLACING, *ASKING, *DECODING, *STACKS, *PARSERS, *SERVING, *WORKERS)
