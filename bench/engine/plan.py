from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What one run measures. `use_shelf` takes the anchors' figures from an earlier run."""

    only: tuple[str, ...]
    replies: tuple[int, ...]
    num_tokens: int
    num_rounds: int
    num_tries: int
    use_shelf: bool
