"""Mutation testing of core/: `python -m tests.mutation --seed 1 --sample 300`.

A mutant is a module with one place changed: a comparison, an operator, a constant, a statement left out. A good test
run fails with it: the mutant is *killed*. One that survives is a line that no test looks at, or a change that makes no
difference: the latter stand in harmless.txt with their reasons, and are not counted. The sample is drawn by a seed
from all mutants, so that the share of killed ones tells of all of them, within the confidence that is printed (Wilson,
95 %).
"""

import json
import math
import os
import tempfile
from dataclasses import astuple
from pathlib import Path

import click
import pytest

from tests.mutation import reach
from tests.mutation.mutants import HARMLESS, ROOT, Mutant, MutantKey, drawn, harmless
from tests.mutation.trials import TestChoice, Trial, Trials

VERDICTS = ROOT / "build" / "mutation" / "verdicts.json"


def interval(killed: int, tried: int) -> tuple[float, float]:
    """Give Wilson's interval of a share, 95 %."""
    if not tried:
        return 0.0, 1.0
    share, z = killed / tried, 1.96
    middle, root = share + z * z / (2 * tried), z * math.sqrt(share * (1 - share) / tried + z * z / (4 * tried * tried))
    return (middle - root) / (1 + z * z / tried), (middle + root) / (1 + z * z / tried)


def share_of(killed: int, tried: int) -> str:
    """Write a share with its interval."""
    low, high = interval(killed, tried)
    return f"{killed} of {tried} killed: {killed / max(1, tried):.1%} (95 %: {low:.1%} to {high:.1%})"


class Verdicts:
    """What was said of mutants, kept for the next run."""

    def __init__(self) -> None:
        self._killers: dict[str, str | None] = json.loads(VERDICTS.read_text()) if VERDICTS.exists() else {}

    def killer(self, mutant: Mutant) -> str | None:
        """Give the test that killed a mutant in an earlier run."""
        return self._killers.get(_name_of(mutant))

    def has_survived(self, mutant: Mutant) -> bool:
        """Tell whether a mutant was tried in an earlier run and no test killed it."""
        return self._killers.get(_name_of(mutant), "") is None

    def keep(self, trial: Trial) -> None:
        """Keep an outcome."""
        if trial.is_killed is not None:
            self._killers[_name_of(trial.mutant)] = trial.killer if trial.is_killed else None

    def write(self) -> None:
        """Write the file."""
        VERDICTS.parent.mkdir(parents=True, exist_ok=True)
        VERDICTS.write_text(json.dumps(self._killers, indent=0))


def _name_of(mutant: Mutant) -> str:
    return json.dumps([*astuple(mutant.key), mutant.twin])


@click.command()
@click.option("--seed", default=1, help="Of the sample.")
@click.option("--sample", default=100, help="How many mutants to try.")
@click.option("--only", default="", help="Modules of core/ that begin so, such as `exabgp/`.")
@click.option("--minutes", default=60.0, help="After so long no further mutant is tried.")
@click.option("--jobs", default=os.cpu_count() or 1, help="Processes at a time.")
@click.option("--cpu", default=60.0, help="Seconds of CPU that a mutant's tests may take together.")
@click.option("--again", is_flag=True, help="Leave out what was killed before, or is harmless.")
@click.option("--anew", is_flag=True, help="Import core/ anew for each mutant: slow, and nothing is swapped in place.")
def main(*, seed: int, sample: int, only: str, minutes: float, jobs: int, cpu: float, again: bool, anew: bool) -> None:
    """Try a sample of mutants, and tell the share of killed ones and each survivor."""
    found, total = drawn(seed, sample, only)
    verdicts, reasons = Verdicts(), harmless(HARMLESS.read_text())
    known = reach.known()
    missing = [path for path in reach.files_of_tests() if path not in known]
    click.echo(f"{len(found)} of {total} mutants; what each test reaches is found out for {len(missing)} files")
    reach.find_out(missing, jobs)
    choice = TestChoice(reach.known(), cpu)
    earlier = [one for one in found if again and verdicts.killer(one) is not None]
    listed = [one for one in found if again and one.key in reasons and verdicts.has_survived(one)]
    done = {*earlier, *listed}
    todo = [one for one in found if one not in done]
    trials: list[Trial] = []

    def tell(trial: Trial) -> None:
        trials.append(trial)
        verdicts.keep(trial)
        is_listed = trial.mutant.key in reasons
        if trial.is_killed and is_listed:
            click.echo(f"listed as harmless, but killed by {trial.killer}: {trial.mutant}")
        elif trial.is_killed is False and not is_listed:
            tried = f"{trial.tests} tests" + (f", {trial.left_out} left out" if trial.left_out else "")
            click.echo(f"{trial.mutant}\n    survives: {tried}")
        if not len(trials) % 50:
            verdicts.write()
            click.echo(f"-- {len(trials)} tried")

    with tempfile.TemporaryDirectory(prefix="mutants.") as folder:
        plugin = Trials(todo, choice, jobs=jobs, minutes=minutes, anew=anew, folder=Path(folder).resolve(), tell=tell)
        pytest.main([*reach.OPTIONS, *map(str, reach.files_of_tests())], plugins=[plugin])
    verdicts.write()
    _sum_up(trials, len(earlier), listed, reasons, plugin)


def _sum_up(
    trials: list[Trial], earlier: int, listed: list[Mutant], reasons: dict[MutantKey, str], plugin: Trials
) -> None:
    counted = [one for one in trials if one.is_killed is not None]
    killed = earlier + sum(one.is_killed is True for one in counted)
    surviving = [*listed, *(one.mutant for one in counted if not one.is_killed)]
    no_harm = sum(one.key in reasons for one in surviving)
    endless = sum(one.is_endless for one in counted)
    click.echo(f"{killed + len(surviving)} tried, {no_harm} of the {len(surviving)} survivors are harmless")
    click.echo(f"all: {share_of(killed, killed + len(surviving))}; {endless} took too long")
    click.echo(f"without the harmless: {share_of(killed, killed + len(surviving) - no_harm)}")
    click.echo(f"{plugin.unchanged_failed} of {plugin.unchanged} trials without a change failed")


if __name__ == "__main__":
    main()
