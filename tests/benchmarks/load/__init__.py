"""Load as code: wrk's scripts, and the lists of requests that they draw from."""
