"""What GitHub does with the repository: the workflows, the hooks before a commit, the forms."""

import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PERMITTED = {
    "publish": {"id-token": "write"},
    "analyze": {"contents": "read", "security-events": "write"},
    "zizmor": {"contents": "read", "security-events": "write"},
}
"""What the jobs may do that may do more than read the repository."""

pytestmark = pytest.mark.skipif(not GITHUB.exists(), reason="not a clone: the source distribution has no .github")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        yield from load(path)["jobs"].items()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_nothing_by_default(path: Path) -> None:
    """Permissions are given to single jobs only, and two runs for one branch are not made side by side."""
    workflow = load(path)
    assert workflow["permissions"] == {}
    assert "concurrency" in workflow or [*workflow[True]] == ["workflow_call"]  # YAML 1.1 reads `on` as true
    assert "pull_request_target" not in workflow[True]


def test_a_job_may_do_no_more_than_it_needs() -> None:
    """Only publishing may ask for an identity, in an environment that asks a person; the audits may write findings."""
    for name, job in jobs():
        assert job["permissions"] in ([PERMITTED[name]] if name in PERMITTED else [{}, {"contents": "read"}]), name
        assert job.get("environment") == ("release" if name == "publish" else None)
        assert "uses" in job or "timeout-minutes" in job, name


def test_every_action_is_pinned_to_a_commit() -> None:
    """What stands after `uses:` has 40 hexadecimal digits and its version in a comment, or is of this repository."""
    for path in WORKFLOWS:
        for line in re.findall(r"^\s*(?:- )?uses: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            own = re.fullmatch(r"\$/(\.github/workflows/\w+\.yml)", line)
            assert (ROOT / own[1]).is_file() if own else re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


def test_the_workflows_agree_on_each_action() -> None:
    """An action has one commit in all workflows."""
    texts = [path.read_text(encoding="utf-8") for path in WORKFLOWS]
    pinned = {pin for text in texts for pin in re.findall(r"uses: ([\w-]+/[\w-]+)[\w/-]*@(\w+ # \S+)", text)}
    assert len(pinned) == len({action for action, _ in pinned})


def test_no_step_keeps_a_credential_or_runs_what_comes_from_outside() -> None:
    """A checkout leaves no token behind, and a shell's text has nothing of an event in it."""
    for name, job in jobs():
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name
            assert "${{" not in step.get("run", ""), name  # it goes through the environment


def test_the_matrix_is_that_of_the_classifiers(capsys: pytest.CaptureFixture[str]) -> None:
    """The built wheel is tested on every Python that pyproject.toml names, by CI and before it is published."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runpy.run_path(str(ROOT / ".ci/classifiers.py"), run_name="__main__")
    name, _, value = capsys.readouterr().out.strip().partition("=")
    pythons = yaml.safe_load(value)
    assert name == "pythons"
    assert f">={pythons[0]}" == project["requires-python"]
    assert {f"Programming Language :: Python :: {each}" for each in pythons} <= {*project["classifiers"]}
    assert sum(bool(re.search(r":: 3\.\d+$", each)) for each in project["classifiers"]) == len(pythons)
    wheel = load(GITHUB / "workflows/wheel.yml")["jobs"]
    assert ".ci/classifiers.py" in str(wheel["build"]["steps"])
    assert wheel["test"]["strategy"]["matrix"] == {"python": "${{ fromJSON(needs.build.outputs.pythons) }}"}
    for caller in ("ci", "publish"):
        assert load(GITHUB / f"workflows/{caller}.yml")["jobs"]["wheel"]["uses"] == "$/.github/workflows/wheel.yml"


def test_what_is_published_has_been_tested() -> None:
    """Publishing waits for the tests of the wheel, builds nothing itself, and signs attestations."""
    publish = load(GITHUB / "workflows/publish.yml")["jobs"]["publish"]
    assert publish["needs"] == ["wheel", "tag"]
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert publish["steps"][-1]["with"] == {"attestations": True}


def test_the_floors_stay_where_they_are() -> None:
    """Dependabot raises pins and actions, and neither the floors nor the ranges of pyproject.toml."""
    updates = {each["package-ecosystem"]: each for each in load(GITHUB / "dependabot.yml")["updates"]}
    assert updates.keys() == {"github-actions", "pip", "pre-commit"}
    assert updates["pip"]["exclude-paths"] == ["floors.txt"]
    assert updates["pip"]["versioning-strategy"] == "increase-if-necessary"


def test_the_hooks_before_a_commit_run_what_lint_runs() -> None:
    """Ruff and zizmor have the versions of constraints.txt, and hooks of others are pinned to a commit."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    run = set()
    for repository in load(ROOT / ".pre-commit-config.yaml")["repos"]:
        if repository["repo"] != "local":
            assert re.fullmatch(r"[0-9a-f]{40}", repository["rev"])
            continue
        for hook in repository["hooks"]:
            assert set(hook["additional_dependencies"]) <= set(pins), hook["id"]
            run |= {Requirement(each).name for each in hook["additional_dependencies"]}
    assert run == {"ruff", "zizmor"}


def test_the_forms_ask_for_what_helps_and_keep_security_out() -> None:
    """A report has versions and code, an idea has its problem, and a weakness has another way."""
    forms = {path.stem: load(path) for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml")}
    config = forms.pop("config")
    assert config["blank_issues_enabled"] is False
    assert config["contact_links"][0]["url"].endswith("/security/policy")
    assert (ROOT / "SECURITY.md").is_file()
    assert forms.keys() == {"bug", "feature"}
    for form in forms.values():
        fields = [part for part in form["body"] if part["type"] != "markdown"]
        assert len({part["id"] for part in fields}) == len(fields)
        assert any(part.get("validations", {}).get("required") for part in fields)
