"""Pages in, verdicts out: what a worker process does, for both cleaners."""

from components.clean.extract import READABLE, extract, media_type
from components.clean.finish import finish
from components.clean.hosts import refused
from components.clean.keep import KeepPages
from components.clean.language import identify
from components.clean.minhash import band_hashes, text_digest
from components.clean.pages import Page
from components.clean.rules import Text, broken, ng_pattern
from components.clean.swallow import SwallowCleaner
from components.clean.verdict import Verdict
