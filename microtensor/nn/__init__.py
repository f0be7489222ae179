"""Layers and what they are made of: modules, which hold Tensors to be learned and the function that uses them."""

from typing import Any as _Any

from microtensor import hints as _hints
from microtensor.nn.activations import GELU, ReLU, Sigmoid, SiLU, Tanh
from microtensor.nn.convolution import CausalConv1d, Conv1d
from microtensor.nn.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm, TiedLinear, drawn_from, normal
from microtensor.nn.module import Module, Parameter
from microtensor.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from microtensor.nn.sequential import Sequential


def __getattr__(name: str) -> _Any:
    raise _hints.missing(__name__, name)
