"""A one-time token makes one appliance, once, in time."""

import asyncio
from pathlib import Path

import grpc
import pytest
from control_plane.rig import Rig, control_plane, private_pem, refused, signing_request
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_control_plane.errors import InvalidRequest, InvalidSigningRequest, TokenRefused
from sluice_control_plane.identity.authority import key_of_request
from sluice_control_plane.identity.roles import Role
from sluice_control_plane.identity.tokens import EnrolmentToken, redeem, time_to_live_s
from sluice_runtime import rpc


async def _enrol(rig: Rig, token: str, request: bytes) -> fleet_pb2.EnrolResponse:
    stub = fleet_pb2_grpc.EnrolmentServiceStub(rig.anonymous())
    return await stub.Enrol(
        fleet_pb2.EnrolRequest(token=token, certificate_signing_request=request)
    )


def test_the_certificate_of_an_enrolled_box_opens_its_own_doors(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path / "state") as rig:
            await rig.found_fleet(enrolled=False)
            key = ec.generate_private_key(ec.SECP256R1())
            answer = await _enrol(rig, await rig.token("a-1"), signing_request(key))
            assert answer.appliance == "appliances/a-1"
            assert answer.verification_keys == [
                (tmp_path / "state" / "verification.pem").read_bytes()
            ]
            box = tmp_path / "box"
            box.mkdir()
            (box / "ca.pem").write_bytes(answer.certificate_authority)
            (box / "cert.pem").write_bytes(answer.certificate)
            (box / "key.pem").write_bytes(private_pem(key))
            tls = rpc.TlsFiles.in_folder(box)
            async with rpc.open_channel(rig.running.listen, tls) as channel:
                await fleet_pb2_grpc.ApplianceServiceStub(channel).ReportHeartbeat(
                    fleet_pb2.ReportHeartbeatRequest(
                        appliance="appliances/a-1",
                        incarnation="x",
                        sequence=1,
                        serving_address=fleet_pb2.ServingAddress(ipv6="2001:db8::1", port=443),
                        serving=True,
                    )
                )
            seen = await rig.appliance("a-1")
            assert seen.health == fleet_pb2.APPLIANCE_HEALTH_STARTING
            assert seen.serving_address.ipv6 == "2001:db8::1"
            assert seen.HasField("enrol_time")

    asyncio.run(story())


def test_a_token_that_was_used_or_replaced_or_never_made_enrols_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            await rig.found_fleet(enrolled=False)
            replaced, token = await rig.token("a-1"), await rig.token("a-1")
            await _enrol(rig, token, signing_request())
            for wrong in (token, replaced, "never made", "", "x" * 10_000):
                async with refused(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REFUSED"):
                    await _enrol(rig, wrong, signing_request())
            assert token.encode() not in (tmp_path / "sluice.db").read_bytes()

    asyncio.run(story())


def test_a_bad_signing_request_leaves_the_token_unused(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            await rig.found_fleet(enrolled=False)
            token = await rig.token("a-1")
            code = grpc.StatusCode.INVALID_ARGUMENT
            async with refused(code, "INVALID_CERTIFICATE_SIGNING_REQUEST"):
                await _enrol(rig, token, b"-----BEGIN NONSENSE-----")
            await _enrol(rig, token, signing_request())

    asyncio.run(story())


def test_the_subject_of_a_signing_request_gives_nobody_another_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            await rig.found_fleet(enrolled=False)
            answer = await _enrol(rig, await rig.token("b-2"), signing_request())
            certificate = x509.load_pem_x509_certificate(answer.certificate)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
            assert uris == ["spiffe://sluice/appliance/b-2"]
            assert b"whoever" not in certificate.subject.public_bytes()

    asyncio.run(story())


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.sampled_from(["", "ours", "another's"]))
def test_a_token_is_redeemed_exactly_while_nobody_else_used_it_and_in_time(
    now: float, expire_time: float, used_by: str
) -> None:
    token = EnrolmentToken("a-1", expire_time, used_by)
    if used_by != "another's" and now < expire_time:
        assert redeem(token, "ours", now) == "a-1"
    else:
        with pytest.raises(TokenRefused, match="a-1"):
            redeem(token, "ours", now)


def test_a_box_that_died_before_it_kept_its_certificate_enrols_again_with_its_key(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            await rig.found_fleet(enrolled=False)
            token, request = await rig.token("a-1"), signing_request()
            await _enrol(rig, token, request)

            again = await _enrol(rig, token, request)

            assert again.appliance == "appliances/a-1"
            async with refused(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REFUSED"):
                await _enrol(rig, token, signing_request())

    asyncio.run(story())


def test_a_token_lives_an_hour_unless_said_otherwise_and_never_over_thirty_days() -> None:
    assert time_to_live_s(0) == 3600
    for wrong in (-1, 30 * 24 * 3600 + 1):
        with pytest.raises(InvalidRequest, match="time_to_live"):
            time_to_live_s(wrong)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 1024),
    ],
    ids=["P-521", "RSA-1024"],
)
def test_keys_that_are_weak_or_that_tls_does_not_take_are_refused(key: object) -> None:
    with pytest.raises(InvalidSigningRequest, match="expected EC P-256"):
        key_of_request(signing_request(key))


def test_an_ed25519_signing_request_is_refused_because_tls_does_not_take_it() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    key = ed25519.Ed25519PrivateKey.generate()
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, None)
    with pytest.raises(InvalidSigningRequest):
        key_of_request(request.public_bytes(Encoding.PEM))


def test_a_partner_makes_no_tokens(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            await rig.found_fleet(enrolled=False)
            stub = fleet_pb2_grpc.FleetServiceStub(rig.channel(Role.PARTNER, "partner-a"))
            async with refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"):
                await stub.CreateEnrolmentToken(
                    fleet_pb2.CreateEnrolmentTokenRequest(appliance="appliances/a-1")
                )

    asyncio.run(story())
