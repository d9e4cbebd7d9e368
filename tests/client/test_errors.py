import grpc
import pytest

from fiqa_fast.client import errors
from fiqa_fast.errors import FiqaError


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK])
def test_every_grpc_status_is_a_typed_error(code):
    error = errors.error_of_status(str(code), "the server's words", "grafiqs on a:1")
    assert isinstance(error, FiqaError)
    assert type(error) is not errors.ServerError
    assert error.status == code.name
    for part in ("client: expected", "grafiqs on a:1", "the server's words", code.name):
        assert part in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("UNAVAILABLE", errors.ServerUnavailableError),
        ("503", errors.ServerUnavailableError),
        ("429", errors.ServerUnavailableError),
        ("DEADLINE_EXCEEDED", errors.DeadlineError),
        ("504", errors.DeadlineError),
        ("NOT_FOUND", errors.ModelUnavailableError),
        ("404", errors.ModelUnavailableError),
        ("INVALID_ARGUMENT", errors.RequestRefusedError),
        ("400", errors.RequestRefusedError),
        ("418", errors.RequestRefusedError),
        ("501", errors.RequestRefusedError),
        ("RESOURCE_EXHAUSTED", errors.RequestTooLargeError),
        ("413", errors.RequestTooLargeError),
        ("UNAUTHENTICATED", errors.AccessDeniedError),
        ("403", errors.AccessDeniedError),
        ("INTERNAL", errors.ServerFailedError),
        ("500", errors.ServerFailedError),
        ("CANCELLED", errors.RequestCancelledError),
        ("499", errors.RequestCancelledError),
    ],
)
def test_statuses_mean_the_same_in_both_protocols(status, kind):
    assert type(errors.error_of_status(status, "", "it")) is kind
