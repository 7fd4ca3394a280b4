"""Why a view has no text: what the rule says of its raw form.

Every entry whose raw form a person does not read with ease has a `.txt`.
"""

from __future__ import annotations

ONE_VALUE = "the file is one value"
PLAIN_LINES = "the file has a plain line for each, with its name"
TABLE = "the file is an aligned table already"
FILES_OF_ONE_VALUE = "each file is one value; `cat` shows it"
FOR_PROGRAMS = (
    "the numbers are for programs that compute with them; people read sums of other views"
)
LINE_FOR_EACH_SYMBOL = "it has a line for each symbol; `grep` finds one in the file"
MANY_LINES = "it has hundreds of thousands of lines; `grep` and `jq` find one"
