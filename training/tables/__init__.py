"""Tables, curves and reports over the results of evaluations."""
