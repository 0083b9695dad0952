"""The fault campaign: whole pipelines of real parts, broken at random while trades flow, and judged all the time."""
