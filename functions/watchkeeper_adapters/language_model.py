"""A language model behind any endpoint that speaks OpenAI's chat protocol."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import msgspec

from watchkeeper.errors import ConfigError, ModelError, Unavailable
from watchkeeper.ports import Completion
from watchkeeper_adapters.address import address_of
from watchkeeper_adapters.circuit import CircuitBreaker
from watchkeeper_adapters.dialect import NOT_ABOUT_FORM, Answered, Form, read_reply
from watchkeeper_adapters.plain import excerpt
from watchkeeper_adapters.tls import authorities

if TYPE_CHECKING:
    import openai

TRY_LATER = frozenset({408, 409, 425, 429})
LONGEST_REPLY = 1 << 20
NO_KEY = "none"  # the client insists on a key where a local endpoint needs none


class OpenAICompatible:
    """`model` at `base_url` (`https://api.openai.com/v1`, `http://127.0.0.1:8000/v1`); the port is `LanguageModel`.

    A call asks at temperature 0 and is never repeated behind the caller's back; only where the endpoint refuses a
    parameter (400, 422) it is put in a simpler form, at most 4 times, and the form that was taken is kept. All of that
    ends after `timeout_s` seconds, or one read later. Answers are kept by the content of the question, `cache_size` of
    them: one that was kept counts no tokens and is there also while the circuit is open. Where the endpoint reports no
    usage, tokens are estimated at 4 characters each. A prompt is never sent on to where a redirect points.

    `api_version` is for a classic endpoint of Azure OpenAI, `https://NAME.openai.azure.com/openai`: there it goes along
    as the query `api-version`, the key as the header `api-key`, and `model` is the deployment's name, in the path.

    `api_key` may be a function instead: it is asked for a token before each request, keeps one for as long as it is
    good, and raises Unavailable where there is none.

    Unavailable: no connection, no answer in time, 408, 409, 425, 429, 5xx, or an open circuit.
    ModelError: a refusal, an empty answer, a content filter, any other status.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | Callable[[], str] = "",
        *,
        api_version: str = "",
        timeout_s: float = 20.0,
        max_tokens: int = 1200,
        cache_size: int = 256,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        if not model:
            raise ConfigError("language model: no name of a model is given")
        key, token = (api_key, None) if isinstance(api_key, str) else ("", api_key)
        if not (key.isascii() and key.isprintable()):
            raise ConfigError("language model: the API key has characters that no HTTP header takes")
        if api_version and base_url.rstrip("/").endswith("/v1"):
            raise ConfigError("language model: an address that ends in /v1 takes no api_version")
        self.model = model
        self._api_version = api_version
        self._address = address_of(base_url, "language model")
        self._api_key = key  # or the last token: what no message may repeat
        self._token = token
        self._timeout_s = timeout_s
        self._max_tokens = max_tokens
        self._breaker = breaker or CircuitBreaker()
        self._kept = _Kept(cache_size)
        self._form = Form()

    def complete(self, system: str, prompt: str, schema: Mapping[str, object]) -> Completion:
        """See `ports.LanguageModel`."""
        question = hashlib.sha256(msgspec.json.encode((system, prompt, schema), order="sorted")).digest()
        kept = self._kept.get(question)
        if kept is not None:
            return kept._replace(prompt_tokens=0, completion_tokens=0)
        answered = self._breaker.call(lambda: self._ask(system, prompt, schema))
        if answered.whole:
            self._kept.put(question, answered.completion)
        return answered.completion

    def close(self) -> None:
        """Close the connections, if any were opened."""
        if "_client" in self.__dict__:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    @functools.cached_property
    def _client(self) -> openai.OpenAI:
        import openai  # takes half a second, and most workers never ask

        told: dict[str, Any] = {
            "base_url": self._address.url,
            "max_retries": 0,
            "http_client": openai.DefaultHttpxClient(
                follow_redirects=False, trust_env=not self._address.is_local, verify=authorities()
            ),
        }
        if self._api_version:
            login = {"azure_ad_token_provider": self._fresh} if self._token else {"api_key": self._api_key or NO_KEY}
            azure: openai.OpenAI = openai.AzureOpenAI(**told, **login, api_version=self._api_version)
            return azure
        return openai.OpenAI(**told, api_key=self._fresh if self._token else self._api_key or NO_KEY)

    def _fresh(self) -> str:
        self._api_key = self._token() if self._token else ""
        return self._api_key

    def _ask(self, system: str, prompt: str, schema: Mapping[str, object]) -> Answered:
        """Ask in the form known to be taken, or the first simpler one that is."""
        deadline = time.monotonic() + self._timeout_s
        form = self._form
        while True:
            try:
                body = self._post(form.request(system, prompt, schema, self._max_tokens), deadline)
            except _FormRefused as refusal:
                simpler = form.after_refusal(str(refusal))
                if simpler is None:
                    raise ModelError(str(refusal)) from refusal
                form = simpler
            else:
                self._form = form
                return read_reply(body, self.model, system + prompt)

    def _post(self, request: Mapping[str, Any], deadline: float) -> bytes:
        import httpx2  # what openai speaks HTTP with: a broken body comes as its error
        import openai

        left = deadline - time.monotonic()
        if left <= 0:
            raise self._too_late()
        create = self._client.chat.completions.with_streaming_response.create
        body = bytearray()
        try:
            with create(model=self.model, timeout=left, **request) as response:
                # Piece by piece, because endpoints send blanks to keep a slow call alive: no single read times out.
                for piece in response.iter_bytes():
                    body += piece
                    if time.monotonic() > deadline:
                        raise self._too_late()
                    if len(body) > LONGEST_REPLY:
                        raise ModelError(f"{self._address.shown} answers with more than {LONGEST_REPLY} bytes")
        except openai.APIStatusError as error:
            raise self._status(error) from error
        except (openai.APITimeoutError, httpx2.TimeoutException) as error:
            raise self._too_late() from error
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            reason = excerpt(str(error.__cause__ or error))
            raise Unavailable(f"{self._address.shown} cannot be reached: {reason}") from error
        except openai.OpenAIError as error:
            raise ModelError(f"{self._address.shown}: {self._says(str(error))}") from error
        return bytes(body)

    def _status(self, error: openai.APIStatusError) -> Exception:
        status = error.status_code
        says = error.body.get("message") if isinstance(error.body, dict) else None
        text = f"{self._address.shown} answers {status}: {self._says(str(says or error.response.text))}"
        if status in TRY_LATER or status >= 500:
            wait = error.response.headers.get("Retry-After")
            return Unavailable(text + (f" (Retry-After: {excerpt(wait, 40)})" if wait else ""))
        if status in {400, 422} and error.code not in NOT_ABOUT_FORM:
            return _FormRefused(text)
        return ModelError(text)

    def _too_late(self) -> Unavailable:
        return Unavailable(f"{self._address.shown} has not answered within {self._timeout_s:g} s")

    def _says(self, text: str) -> str:
        """What an endpoint says, without the key that some repeat in it."""
        return excerpt(text.replace(self._api_key, "…") if self._api_key else text)


class _FormRefused(Exception):
    """The endpoint takes no request of this form."""


class _Kept:
    """The answers that were used last, by question."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: dict[bytes, Completion] = {}

    def get(self, question: bytes) -> Completion | None:
        answer = self._answers.pop(question, None)
        if answer is not None:
            self._answers[question] = answer
        return answer

    def put(self, question: bytes, answer: Completion) -> None:
        self._answers[question] = answer
        while len(self._answers) > self._size:
            del self._answers[next(iter(self._answers))]
