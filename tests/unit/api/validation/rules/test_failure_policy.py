def test_the_first_back_off_is_not_longer_than_the_longest(brief):
    path = "failurePolicy.backoffSeconds"
    assert brief({path: 601}) == [("error", "Conflict", path)]
    assert brief({path: 600}) == []
