"""Claims: falsifiable statements about two stages, paired by seed, each with an effect, an interval and, in the headline, a word.

Every effect is oriented so that a positive value agrees with the paper (arXiv 2512.03437).
"""

from ungrok.study.claims.answers import Answer, answers, first_things
from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, Sides, every_claim
from ungrok.study.claims.durability import headline_standings
from ungrok.study.claims.durable import QUESTION, Durable, durable_of
from ungrok.study.claims.efficiency import COARSE
from ungrok.study.claims.headline import resolved
from ungrok.study.claims.judge import judge, judge_paths, paths_of, told_of
from ungrok.study.claims.lasting import Lasts, lasting_of, lasting_sentence
from ungrok.study.claims.notes import NOTES, Note
from ungrok.study.claims.verdicts import (
    WORDS,
    At,
    Doses,
    Effect,
    Target,
    Verdict,
    Wins,
    Word,
    decide,
    place_name,
    where_name,
)

__all__ = [
    "CLAIMS", "COARSE", "NOTES", "QUESTION", "WORDS", "Answer", "At", "Claim", "Doses", "Durable", "Effect", "Evidence", "Finding", "Lasts", "Note", "Sides", "Target",
    "Verdict", "Wins", "Word", "answers", "decide", "durable_of", "every_claim", "first_things", "headline_standings", "judge", "judge_paths", "lasting_of", "lasting_sentence", "paths_of", "place_name", "resolved", "told_of", "where_name",
]  # fmt: skip
