"""Convolutions from and to images of one or a few channels, several times as fast as TensorFlow's on a CPU.

TensorFlow's kernel for the gradient of a convolution to its input, which is also a transposed convolution, is built for
many channels: to one channel it reaches a thirtieth of its speed to 64. Here that product is one of matrices, and
the overlapping patches that it gives are added up; all else is TensorFlow's. Same mathematics; tests/benchmarks holds
the figures.
"""

import keras
import tensorflow as tf


class ThinConv2D(keras.layers.Conv2D):
    """Keras's convolution, of images [batch, height, width, channels] with few channels."""

    def convolution_op(self, inputs, kernel):
        return _convolution(inputs, tf.convert_to_tensor(kernel), self.strides[0], self.padding.upper())


class ThinConv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras's transposed convolution with a bias, to images [batch, height, width, channels] with few channels."""

    def call(self, inputs):
        _, height, width, _ = self.compute_output_shape(inputs.shape)
        kernel = tf.convert_to_tensor(self.kernel)
        outputs = _transposed(inputs, kernel, self.strides[0], height, width, self.padding.upper())
        return self.activation(tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias)))


def _convolution(images, kernel, stride: int, padding: str):
    strides = [1, stride, stride, 1]

    @tf.custom_gradient
    def convolve(images, kernel):
        def gradient(upstream):
            _, height, width, _ = images.shape
            return (
                _fold(upstream, kernel, stride, height, width, padding),
                tf.raw_ops.Conv2DBackpropFilter(
                    input=images, filter_sizes=kernel.shape, out_backprop=upstream, strides=strides, padding=padding
                ),
            )

        return tf.nn.conv2d(images, kernel, strides, padding), gradient

    return convolve(images, kernel)


def _transposed(features, kernel, stride: int, height: int, width: int, padding: str):
    strides = [1, stride, stride, 1]

    @tf.custom_gradient
    def convolve(features, kernel):
        def gradient(upstream):
            return (
                tf.nn.conv2d(upstream, kernel, strides, padding),
                tf.raw_ops.Conv2DBackpropFilter(
                    input=upstream, filter_sizes=kernel.shape, out_backprop=features, strides=strides, padding=padding
                ),
            )

        return _fold(features, kernel, stride, height, width, padding), gradient

    return convolve(features, kernel)


def _fold(features, kernel, stride: int, height: int, width: int, padding: str):
    """Each position's patch, features @ kernel, added where the convolution by that kernel would have read it.

    Args:
        features: [batch, rows, columns, channels].
        kernel: [side, side, of the image, channels].
        stride, padding: of the convolution.
        height, width: of the images that it reads.
    Returns:
        [batch, height, width, of the image].
    """
    _, rows, columns, channels = features.shape
    side, _, of_image, _ = kernel.shape
    # A patch as blocks of stride x stride pixels, zeros added to fill the last: block (i, j) of the patch at (row,
    # column) belongs wholly to block (row + i, column + j) of the image.
    blocks = -(-side // stride)
    missing = blocks * stride - side
    by_block = tf.pad(kernel, [[0, missing], [0, missing], [0, 0], [0, 0]])
    by_block = tf.reshape(by_block, [blocks, stride, blocks, stride, of_image, channels])
    by_block = tf.reshape(tf.transpose(by_block, [5, 0, 2, 1, 3, 4]), [channels, -1])
    patches = tf.matmul(tf.reshape(features, [-1, channels]), by_block)
    patches = tf.reshape(patches, [-1, rows, columns, blocks, blocks, stride**2 * of_image])
    image = tf.add_n(
        [
            tf.pad(patches[:, :, :, i, j], [[0, 0], [i, blocks - 1 - i], [j, blocks - 1 - j], [0, 0]])
            for i in range(blocks)
            for j in range(blocks)
        ]
    )
    if stride > 1:
        image = tf.nn.depth_to_space(image, stride)
    top = _pixels_before(height, rows, stride, side) if padding == "SAME" else 0
    left = _pixels_before(width, columns, stride, side) if padding == "SAME" else 0
    # What no patch reaches, at the end, is zero.
    below = max(top + height - (rows + blocks - 1) * stride, 0)
    right = max(left + width - (columns + blocks - 1) * stride, 0)
    image = tf.pad(image, [[0, 0], [0, below], [0, right], [0, 0]])
    return image[:, top : top + height, left : left + width]


def _pixels_before(size: int, positions: int, stride: int, side: int) -> int:
    """Rows or columns of zeros that TensorFlow's "SAME" sets before the first of an image's."""
    return max((positions - 1) * stride + side - size, 0) // 2
