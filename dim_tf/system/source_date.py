"""SOURCE_DATE_EPOCH: the time that reproducible output states instead of the present.

https://reproducible-builds.org/specs/source-date-epoch/
"""

import os

from dim_tf.system.errors import InputError

VARIABLE = "SOURCE_DATE_EPOCH"
_MAX = 2**32 - 1  # of gzip; the year 2106


def source_date_epoch() -> int | None:
    """The seconds since 1970 in $SOURCE_DATE_EPOCH; None if it is not set.

    Raises:
        InputError: It is not such a number.
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
