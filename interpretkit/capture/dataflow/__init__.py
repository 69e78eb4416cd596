"""Follow an image through the operations of a forward pass: what each tensor sees of it.

It is the operations that are followed, not the modules, so that `x + y`, `torch.cat` or `x.mean((2, 3))` between
modules count as well. What an operation does is said by one rule for each kind; one without a rule makes what it
returns unknown.
"""
