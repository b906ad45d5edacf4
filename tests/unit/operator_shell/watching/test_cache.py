"""The caches: the newest version wins, whoever tells of it, and in whatever order."""

from typing import Any

from finetune_operator.keys import JobKey
from finetune_operator.watching.cache import Cache, Census, Manifest

JOB = JobKey("team", "tune")


def thing(name: str, version: int, *, uid: str = "u1", job: str | None = "tune") -> dict[str, Any]:
    labels = {} if job is None else {"job": job}
    return {
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "labels": labels,
        }
    }


def job_of(manifest: Manifest) -> JobKey | None:
    job = manifest["metadata"]["labels"].get("job")
    return JobKey(manifest["metadata"]["namespace"], job) if job else None


def cache() -> Cache[int]:
    return Cache(lambda manifest: int(manifest["metadata"]["resourceVersion"]), job_of)


def versions(c: Cache[int]) -> dict[str, int]:
    return {entry.name: entry.value for entry in c}


def listing(c: Cache[int], listed: list[Manifest], version: int, namespace: str | None = None) -> set[JobKey]:
    """A listing in pages of one object; returns whom it brings news of."""
    census = Census(c, namespace)
    news = [census.count([manifest]) for manifest in listed]
    return set().union(*news, census.close(version))


def test_a_new_object_is_news_for_its_job() -> None:
    c = cache()
    assert c.put(thing("a", 1)) == JOB
    assert [entry.name for entry in c.of_job(JOB)] == ["a"]
    assert c.jobs() == {JOB}


def test_a_newer_version_replaces_an_older_one() -> None:
    c = cache()
    c.put(thing("a", 1))
    assert c.put(thing("a", 2)) == JOB
    assert versions(c) == {"a": 2}


def test_an_older_version_is_no_news_and_changes_nothing() -> None:
    c = cache()
    c.put(thing("a", 5))
    assert c.put(thing("a", 4)) is None
    assert versions(c) == {"a": 5}


def test_the_echo_of_our_own_write_is_no_news() -> None:
    c = cache()
    c.put(thing("a", 5))
    assert c.put(thing("a", 5)) is None


def test_an_object_of_nobody_is_ignored() -> None:
    c = cache()
    assert c.put(thing("a", 1, job=None)) is None
    assert len(c) == 0


def test_an_object_that_changes_its_job_moves() -> None:
    c = cache()
    c.put(thing("a", 1))
    assert c.put(thing("a", 2, job="other")) == JobKey("team", "other")
    assert c.of_job(JOB) == []
    assert c.jobs() == {JobKey("team", "other")}


def test_a_deleted_object_is_gone_and_stays_gone_when_old_news_arrives() -> None:
    c = cache()
    c.put(thing("a", 1))
    assert c.remove(thing("a", 3)) == JOB
    assert c.put(thing("a", 2)) is None
    assert len(c) == 0


def test_an_object_of_the_same_name_created_after_the_deletion_is_new() -> None:
    c = cache()
    c.put(thing("a", 1))
    c.remove(thing("a", 3))
    assert c.put(thing("a", 4, uid="u2")) == JOB


def test_a_late_deletion_does_not_remove_the_successor_of_the_same_name() -> None:
    c = cache()
    c.put(thing("a", 1))
    c.put(thing("a", 4, uid="u2"))
    assert c.remove(thing("a", 3, uid="u1")) is None
    assert versions(c) == {"a": 4}


def test_an_object_deleted_by_ourselves_is_gone_at_once() -> None:
    c = cache()
    c.put(thing("a", 2))
    c.forget("team", "a", "u1")
    assert len(c) == 0
    assert c.put(thing("a", 2)) is None


def test_forgetting_spares_an_object_of_another_uid() -> None:
    c = cache()
    c.put(thing("a", 2, uid="u2"))
    c.forget("team", "a", "u1")
    assert versions(c) == {"a": 2}


def test_a_listing_brings_what_the_watch_missed() -> None:
    c = cache()
    c.put(thing("a", 1))
    assert listing(c, [thing("a", 1), thing("b", 2, job="other")], 10) == {JobKey("team", "other")}
    assert versions(c) == {"a": 1, "b": 2}


def test_a_listing_removes_what_vanished_unseen() -> None:
    c = cache()
    c.put(thing("ghost", 1))
    assert listing(c, [], 10) == {JOB}
    assert len(c) == 0


def test_a_listing_spares_what_is_newer_than_itself() -> None:
    c = cache()
    c.put(thing("a", 11))
    assert listing(c, [], 10) == set()
    assert versions(c) == {"a": 11}


def test_a_listing_does_not_raise_what_was_deleted_while_it_was_made() -> None:
    c = cache()
    c.put(thing("a", 1))
    c.remove(thing("a", 12))
    assert listing(c, [thing("a", 1)], 10) == set()
    assert len(c) == 0


def test_a_listing_of_one_namespace_spares_the_others() -> None:
    c = cache()
    c.put(thing("a", 1))
    assert listing(c, [], 10, namespace="elsewhere") == set()
    assert versions(c) == {"a": 1}
