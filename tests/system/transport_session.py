"""Transport sessions of a TPM 1.2, from the software's side: a way to the TPM inside of another.

    session = TransportSession.establish(tpm, TPM_TRANSPORT_ENCRYPT, TPM_ALG_MGF1, key=storage)
    wrapped = Tpm(session)
    wrapped.get_random(4)          # travels encrypted
    digest = session.release(signing_key, secret)[1]
"""
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from contract import spec
from tpm12 import Reader, Session, sha1, sized, u16, u32

MODES = {spec.TPM_ES_SYM_CNT: modes.CTR, spec.TPM_ES_SYM_OFB: modes.OFB}


def mgf1(seed, length):
    blocks = [sha1(seed, u32(i)) for i in range((length + 19) // 20)]
    return b"".join(blocks)[:length]


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def public(attributes, algorithm, scheme):
    """TPM_TRANSPORT_PUBLIC."""
    return (u16(spec.TPM_TAG_TRANSPORT_PUBLIC) + u32(attributes) + u32(algorithm) + u16(scheme))


class TransportSession:
    """A session and its log.

    shapes: ordinal -> (handles, handles in the response, leading bytes of the parameters that are
    in the clear, whether all of the response is).
    """

    def __init__(self, tpm, session, attributes, algorithm, scheme, shapes):
        self.tpm, self.session, self.shapes = tpm, session, shapes
        self.attributes, self.algorithm, self.scheme = attributes, algorithm, scheme

    @classmethod
    def establish(cls, tpm, secret, attributes, algorithm, scheme, shapes, key=None, sessions=()):
        """key: (handle, PublicKey) that the secret is encrypted with; None: it goes in the clear."""
        handle, wire = (key[0], key[1].encrypt(u16(spec.TPM_TAG_TRANSPORT_AUTH) + secret)) \
            if key else (spec.TPM_KH_TRANSPORT, secret)
        answer = tpm.command(spec.TPM_ORD_EstablishTransport,
                             public(attributes, algorithm, scheme) + sized(wire), [handle],
                             sessions, out_handles=1)
        handle = answer.u32()
        answer.take(4 + 32)  # locality, currentTicks
        session = Session(handle, answer.take(20), secret, keep=True)
        return cls(tpm, session, attributes, algorithm, scheme, shapes)

    def crypt(self, data, nonce_even, direction):
        """De- or encrypts the part of a wrapped command or response that is secret."""
        if not self.attributes & spec.TPM_TRANSPORT_ENCRYPT:
            return data
        seed = nonce_even + self.session.nonce_odd + direction
        if self.algorithm == spec.TPM_ALG_MGF1:
            return xor(data, mgf1(seed + self.session.secret, len(data)))
        mode = MODES[self.scheme](mgf1(seed, 16))
        return Cipher(algorithms.AES(self.session.secret[:16]), mode).encryptor().update(data)

    @staticmethod
    def split(message, handles, auth_size, first_tag, clear):
        """(in front, data, behind) of a wrapped command or response."""
        auths = max(0, int.from_bytes(message[:2], "big") - first_tag)
        start = min(len(message), 10 + 4 * handles + clear)
        end = max(start, len(message) - auths * auth_size) if auths <= 2 else len(message)
        return message[:start], message[start:end], message[end:]

    def exchange(self, command):
        """Wraps a command and returns the response, unwrapped and checked."""
        ordinal = command[6:10]
        handles, out_handles, clear, all_clear = self.shapes.get(int.from_bytes(ordinal, "big"),
                                                                 (0, 0, 0, False))
        front, data, behind = self.split(command, handles, 45, spec.TPM_TAG_RQU_COMMAND, clear)
        wrapped = front + self.crypt(data, self.session.nonce_even, b"in") + behind
        response = []

        def hash_in(params):
            return params[:4] + sha1(ordinal, data)

        def hash_out(params, auth):
            answer = Reader(params)
            fixed = answer.take(8 + 4)
            inner = answer.sized()
            ok = len(inner) > 10
            front, data, behind = self.split(inner, out_handles * ok, 41, spec.TPM_TAG_RSP_COMMAND,
                                             len(inner) * all_clear)
            data = self.crypt(data, auth[:20], b"out")
            response.append(front + data + behind)
            return fixed + u32(len(inner)) + sha1(inner[6:10], ordinal, data)

        self.tpm.command(spec.TPM_ORD_ExecuteTransport, sized(wrapped), sessions=[self.session],
                         hash_in=hash_in, hash_out=hash_out)
        return response[0]

    def release(self, key, secret, nonce=bytes(20)):
        """TPM_ReleaseTransportSigned; returns its answer."""
        self.session.keep = False
        return self.tpm.command(spec.TPM_ORD_ReleaseTransportSigned, nonce, [key],
                                [self.tpm.oiap(secret), self.session])
