"""Claims: falsifiable statements about two stages, paired by seed, each with an effect, an interval and a verdict.

Every effect is oriented so that a positive value agrees with the paper (arXiv 2512.03437).
"""

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, every_claim
from ungrok.study.claims.efficiency import COARSE
from ungrok.study.claims.judge import judge
from ungrok.study.claims.notes import NOTES, Note
from ungrok.study.claims.verdicts import WORDS, At, Doses, Effect, Target, Verdict, Word, decide

__all__ = [
    "CLAIMS", "COARSE", "NOTES", "WORDS", "At", "Claim", "Doses", "Effect", "Evidence", "Finding", "Note", "Target", "Verdict", "Word",
    "decide", "every_claim", "judge",
]  # fmt: skip
