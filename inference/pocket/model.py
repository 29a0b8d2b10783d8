"""The Llama architecture in plain torch, with the parameter names of Hugging Face.

Only what training and evaluation need; a server loads the exported weights with its own code.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    """Sizes of the model; the defaults are those of pocket (4.1 million parameters)."""

    vocab_size: int = 2560
    hidden_size: int = 256
    intermediate_size: int = 640
    num_hidden_layers: int = 5
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    max_position_embeddings: int = 2048
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5


# Keys and values of one layer, each (batch, kv heads, positions, head_dim).
Cache = tuple[Tensor, Tensor]


def rotary(config: Config) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (positions, head_dim), the two halves rotated against each other."""
    exponents = torch.arange(0, config.head_dim, 2).float() / config.head_dim
    angles = torch.outer(
        torch.arange(config.max_position_embeddings).float(), config.rope_theta**-exponents
    )
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Causal attention with grouped keys and values."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, self.heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, self.kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, self.kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_dim, config.hidden_size, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, past: Cache | None
    ) -> tuple[Tensor, Cache]:
        """x (batch, positions, hidden); past is empty for a whole text, else x is one position."""
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, self.heads, self.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(batch, length, self.kv_heads, self.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(batch, length, self.kv_heads, self.head_dim).transpose(1, 2)
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        if past is not None:
            k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)
        groups = self.heads // self.kv_heads
        out = F.scaled_dot_product_attention(
            q.to(v.dtype),
            k.to(v.dtype).repeat_interleave(groups, dim=1),
            v.repeat_interleave(groups, dim=1),
            is_causal=past is None,
        )
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, -1)), (k, v)


class MLP(nn.Module):
    """The gated feed-forward block."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, positions, hidden) to the same shape."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the stream."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, past: Cache | None
    ) -> tuple[Tensor, Cache]:
        """(batch, positions, hidden) to the same shape, and the layer's cache."""
        attended, cache = self.self_attn(self.input_layernorm(x), cos, sin, past)
        x = x + attended
        return x + self.mlp(self.post_attention_layernorm(x)), cache


class Body(nn.Module):
    """Embedding, layers and the last norm: `model.*` in the checkpoint."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)


class Llama(nn.Module):
    """The model; the output layer is the embedding (tied)."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.model = Body(config)
        cos, sin = rotary(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # The blocks start small so that the stream begins close to the embedding.
                last = name.endswith(("o_proj.weight", "down_proj.weight"))
                scale = (2 * config.num_hidden_layers) ** -0.5 if last else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)

    def hidden(self, ids: Tensor, past: list[Cache] | None = None) -> tuple[Tensor, list[Cache]]:
        """The normed stream (batch, positions, hidden) of ids (batch, positions), and the caches.

        Padding goes to the right: a causal model never looks at it.
        """
        start = past[0][0].shape[2] if past else 0
        cos, sin = self.cos[start : start + ids.shape[1]], self.sin[start : start + ids.shape[1]]
        x = self.model.embed_tokens(ids)
        caches = []
        for index, layer in enumerate(self.model.layers):
            x, cache = layer(x, cos, sin, past[index] if past else None)
            caches.append(cache)
        return self.model.norm(x), caches

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., hidden) to (..., vocabulary)."""
        return F.linear(hidden, self.model.embed_tokens.weight)


@torch.inference_mode()
def generate(
    model: Llama,
    prompts: list[list[int]],
    stop: set[int],
    max_tokens: int = 64,
    temperature: float = 0.0,
    batch_size: int = 64,
) -> list[list[int]]:
    """Continuations of prompts (token ids), each with its stop token, if it came in time.

    Prompts of one length run together. Temperature 0 takes the likeliest token.
    """
    outputs: list[list[int]] = [[] for _ in prompts]
    by_length: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(index)
    for indices in by_length.values():
        for at in range(0, len(indices), batch_size):
            group = indices[at : at + batch_size]
            device = model.cos.device
            hidden, past = model.hidden(torch.tensor([prompts[i] for i in group], device=device))
            open_rows = set(group)
            for _ in range(max_tokens):
                logits = model.logits(hidden[:, -1])
                if temperature > 0:
                    chosen = torch.multinomial((logits / temperature).softmax(-1), 1)
                else:
                    chosen = logits.argmax(-1, keepdim=True)
                for index, token in zip(group, chosen[:, 0].tolist(), strict=True):
                    if index in open_rows:
                        outputs[index].append(token)
                        if token in stop:
                            open_rows.discard(index)
                if not open_rows:
                    break
                hidden, past = model.hidden(chosen, past)
    return outputs
