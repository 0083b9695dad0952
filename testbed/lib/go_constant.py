#!/usr/bin/env python3
"""go_constant.py FILE NAME : prints a string constant of a Go source file, whose pieces may name other constants."""

import re
import sys

source = open(sys.argv[1], encoding="utf-8").read()


def value_of(name):
    expression = re.search(rf'^const {name} = ((?:"[^"]*"|`[^`]*`|\w+|\s*\+\s*)+)', source, re.M).group(1)
    pieces = re.findall(r'"([^"]*)"|`([^`]*)`|(\w+)', expression)
    return "".join(quoted or raw or (value_of(other) if other else "") for quoted, raw, other in pieces)


print(value_of(sys.argv[2]))
