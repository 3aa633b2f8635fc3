"""SOURCE_DATE_EPOCH: the time that reproducible output names instead of the present.

https://reproducible-builds.org/specs/source-date-epoch/
"""

import os

from dim_tf.system.errors import InputError

VARIABLE = "SOURCE_DATE_EPOCH"
_MAX = 2**32 - 1  # of gzip; the year 2106


def source_date_epoch() -> int | None:
    """The seconds since 1970 that $SOURCE_DATE_EPOCH gives; None: it is not set.

    Raises:
        InputError: it is no such number.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) > _MAX:
        raise InputError(
            f"{VARIABLE}={text} is no number of seconds since 1970, from 0 to {_MAX}; mend it or "
            "unset it"
        )
    return int(text)
