"""`python -m xcodec_fast` is the command `xcodec-fast`."""

from xcodec_fast.cli import main

main()
