"""editctl: mistake-driven key reasoning step distillation from a shell."""

__version__ = "0.1.0"
